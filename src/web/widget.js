// Adds a button to a site that opens the page in a frame.
"use strict";
