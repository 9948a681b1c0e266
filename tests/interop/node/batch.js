"use strict";

// node batch.js ENDPOINT ROWS [BAD_INDEX]: one iris_model_predict_batch, printed as call.js does.

const rig = require("./rig");

rig.run((client, [count, badIndex]) =>
  rig.call(
    client,
    "iris_model_predict_batch",
    rig.rows(rig.wholeNumber(count), rig.wholeNumber(badIndex, -1)),
  ),
);
