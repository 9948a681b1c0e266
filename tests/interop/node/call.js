"use strict";

// node call.js ENDPOINT METHOD [JSON...]: prints {"result"} or {"error": {name, message, stack}}.

const rig = require("./rig");

rig.run((client, [method, ...args]) =>
  rig.call(client, method, ...args.map((text) => JSON.parse(text))),
);
