"use strict";

// node many.js ENDPOINT CALLS IN_FLIGHT: unary predictions, IN_FLIGHT at a time on one client.
// Each answer must equal the one which a lone call gave for the same row.
// Prints {"right", "wrong", "errors": [...], "species": how many different answers there are}.

const { isDeepStrictEqual } = require("node:util");
const rig = require("./rig");

const METHOD = "iris_model_predict";

rig.run(async (client, [callsText, inFlightText]) => {
  const calls = rig.wholeNumber(callsText);
  const expected = [];
  for (const row of rig.SAMPLES) {
    expected.push(await rig.call(client, METHOD, row));
  }

  const tally = { right: 0, wrong: 0, errors: [] };
  let next = 0;
  async function caller() {
    while (next < calls) {
      const which = next % rig.SAMPLES.length;
      next += 1;
      const answer = await rig.call(client, METHOD, rig.SAMPLES[which]);
      if (answer.error) {
        tally.errors.push(answer.error);
      } else if (isDeepStrictEqual(answer, expected[which])) {
        tally.right += 1;
      } else {
        tally.wrong += 1;
      }
    }
  }
  await Promise.all(Array.from({ length: rig.wholeNumber(inFlightText) }, caller));
  const species = new Set(expected.map((answer) => JSON.stringify(answer))).size;
  return { ...tally, species };
});
