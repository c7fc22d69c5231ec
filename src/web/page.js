// The page: begins, streams, keeps, leaves and erases a conversation with the API of the same origin.
"use strict";
