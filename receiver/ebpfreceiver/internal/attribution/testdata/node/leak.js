// leak.js leaks in one of several ways, while churn makes thirty times as much garbage.
'use strict';

const { Worker } = require('worker_threads');

const sessions = new Map();
let n = 0;
let ring = [];

const leaks = {
  // Objects of JavaScript.
  heap() { sessions.set(`session-${n}`, { id: n, data: new Array(1500).fill(n) }); },
  // Buffers, whose bytes are outside of V8's heap: some are large, and some small.
  buffers() { if (n % 50 === 0) sessions.set(`session-${n}`, Buffer.alloc(600000, 1)); },
  small() { sessions.set(`session-${n}`, Buffer.alloc(12000, 1)); },
  // A cache with a bound.
  bounded() { sessions.set(n % 500, new Array(1500).fill(n)); },
};

function churn() {
  ring = [];
  for (let i = 0; i < 30; i++) ring.push(new Array(1500).fill(i));
}

setInterval(() => {
  leaks[process.argv[2]]();
  churn();
  n++;
}, 2);
