"use strict";

// A zerorpc-node server: server.js ENDPOINT; lives until killed, but not for ever.

const zerorpc = require("zerorpc");

const LIFE_MS = 110000; // below the timeout of a test

// It reads the names of parameters from the source text, which must begin with `function`.
const server = new zerorpc.Server({
  echo: function (value, reply) {
    reply(null, value);
  },
  count: function (number, reply) {
    for (let item = 0; item < number; item += 1) {
      reply(null, item, item + 1 < number);
    }
  },
  fail: function (reply) {
    reply(new Error("no root"));
  },
});
server.bind(process.argv[2]);
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
setTimeout(() => process.exit(2), LIFE_MS);
