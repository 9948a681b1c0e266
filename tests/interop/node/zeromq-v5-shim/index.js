"use strict";

module.exports = require("zeromq-6/v5-compat");
