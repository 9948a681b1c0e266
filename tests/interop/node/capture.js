"use strict";

// node capture.js ENDPOINT HEARTBEAT_MS: makes the calls that tests/captures/record.py listens to.

const zerorpc = require("zerorpc");

const SELF_TIMEOUT_MS = 60000;

const [endpoint, heartbeatMs] = process.argv.slice(2);
const client = new zerorpc.Client({ heartbeatInterval: Number(heartbeatMs) });

// One at a time; resolves when the answer or the end of the stream is there.
function call(...methodAndArgs) {
  return new Promise((resolve, reject) => {
    client.invoke(...methodAndArgs, (error, result, more) => {
      if (error) {
        reject(error);
      } else if (!more) {
        resolve(result);
      }
    });
  });
}

async function makeCalls() {
  await call("no_arguments");
  await call("integers", 0, 1, -1, 127, 128, -33, 5.0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -(2 ** 31) - 1);
  await call("floats", 1.5, -0.25, 5.1);
  await call("nothing", undefined, null);
  await call("date", new Date(Date.UTC(2015, 9, 21, 7, 28, 0, 500)));
  await call("texts", "", "iris", "h\u00e9 \u2603 \u{1f33c}", "x".repeat(32), "y".repeat(300));
  await call("bytes", Buffer.from([0, 255]));
  await call("nested", { a: [1, { b: null }], c: [true, false] }, [], {});
  await call("iris_model_predict", {
    sepal_length: 5.0,
    sepal_width: 3.5,
    petal_length: 1.4,
    petal_width: 0.2,
  });
  await call("slow"); // answered after the first heartbeat
  await call("stream");
}

setTimeout(() => process.exit(2), SELF_TIMEOUT_MS);
client.on("error", (error) => {
  process.stderr.write(`client error: ${error}\n`, () => process.exit(3));
});
client.connect(endpoint);
makeCalls().then(
  () => process.exit(0),
  (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
