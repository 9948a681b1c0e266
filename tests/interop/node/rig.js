"use strict";

// What every script here shares: one client, one JSON line on stdout, a bounded life.
//
// Exit codes: 0 the line was printed, 1 bad use or a crash, 2 the script ran out of time,
// 3 the client emitted an 'error' event (the gateway sent something zerorpc-node rejects).

const zerorpc = require("zerorpc");

// zerorpc-node's option: whole seconds.
const CALL_TIMEOUT_S = Number(process.env.ZEROPOOL_TEST_NODE_TIMEOUT_S || 15);
const SELF_TIMEOUT_MS = (CALL_TIMEOUT_S + 5) * 1000;

// Real measurements of three species. JavaScript has one number type, so that
// 5.0 leaves as the integer 5: whole numbers are here on purpose.
const SAMPLES = [
  { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 },
  { sepal_length: 7.0, sepal_width: 3.2, petal_length: 4.7, petal_width: 1.4 },
  { sepal_length: 6.3, sepal_width: 3.3, petal_length: 6.0, petal_width: 2.5 },
  { sepal_length: 5.0, sepal_width: 3.6, petal_length: 1.4, petal_width: 0.2 },
  { sepal_length: 6.4, sepal_width: 3.2, petal_length: 4.5, petal_width: 1.5 },
  { sepal_length: 7.1, sepal_width: 3.0, petal_length: 5.9, petal_width: 2.1 },
];

function rows(count, badIndex) {
  const made = [];
  for (let index = 0; index < count; index += 1) {
    const row = { ...SAMPLES[index % SAMPLES.length] };
    if (index === badIndex) {
      row.petal_width = "abc";
    }
    made.push(row);
  }
  return made;
}

// Resolves with {result} or {error}, as call.js prints it; never rejects.
function call(client, method, ...args) {
  return new Promise((resolve) => {
    client.invoke(method, ...args, (error, result) => {
      if (error) {
        resolve({ error: plainError(error) });
      } else {
        resolve({ result: result === undefined ? null : result });
      }
    });
  });
}

function plainError(error) {
  return {
    name: error.name,
    message: error.message,
    stack: error.stack === undefined ? null : error.stack,
  };
}

function wholeNumber(text, fallback) {
  if (text === undefined && fallback !== undefined) {
    return fallback;
  }
  const number = Number(text);
  if (!Number.isInteger(number)) {
    throw new Error(`not a whole number: ${text}`);
  }
  return number;
}

function leave(code, complaint) {
  process.stderr.write(`${complaint}\n`, () => process.exit(code));
}

// Runs `work(client, parameters)` and prints what it resolves to.
function run(work) {
  const [endpoint, ...parameters] = process.argv.slice(2);
  if (endpoint === undefined) {
    leave(1, "usage: node SCRIPT ENDPOINT [PARAMETER...]");
    return;
  }
  setTimeout(() => leave(2, `no end after ${SELF_TIMEOUT_MS} ms`), SELF_TIMEOUT_MS);
  const client = new zerorpc.Client({ timeout: CALL_TIMEOUT_S });
  client.on("error", (error) => leave(3, `client error: ${error}`));
  client.connect(endpoint);
  Promise.resolve(work(client, parameters)).then(
    (outcome) => {
      client.close(0);
      process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
    },
    (error) => leave(1, error.stack),
  );
}

module.exports = { SAMPLES, call, plainError, rows, run, wholeNumber };
