"use strict";

// node stream.js ENDPOINT ROWS [TIMES] [BAD_INDEX]: iris_model_predict_stream, TIMES in a row on
// one client. Prints {"streams": [{count, indexes, errors, done, failure}]}: `indexes` in order
// of arrival, `errors` the items which carry an error, `failure` what ended the stream instead of
// STREAM_DONE.

const rig = require("./rig");

function readStream(client, rows) {
  return new Promise((resolve) => {
    const seen = { count: 0, indexes: [], errors: 0, done: false, failure: null };
    client.invoke("iris_model_predict_stream", rows, (error, item, more) => {
      if (error) {
        seen.failure = rig.plainError(error);
        resolve(seen);
      } else if (more) {
        seen.count += 1;
        seen.indexes.push(item.index);
        seen.errors += item.error === undefined ? 0 : 1;
      } else {
        seen.done = true;
        resolve(seen);
      }
    });
  });
}

rig.run(async (client, [count, times, badIndex]) => {
  const rows = rig.rows(rig.wholeNumber(count), rig.wholeNumber(badIndex, -1));
  const streams = [];
  for (let turn = 0; turn < rig.wholeNumber(times, 1); turn += 1) {
    streams.push(await readStream(client, rows));
  }
  return { streams };
});
