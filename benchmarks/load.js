// Generate load with k6: POST the lines of a file as bodies in turn, and print a JSON summary.

import http from "k6/http";
import exec from "k6/execution";
import { SharedArray } from "k6/data";

const bodies = new SharedArray("bodies", () => open(__ENV.BODIES).trim().split("\n"));
const headers = { "Content-Type": "application/json" };
if (__ENV.AUTHORIZATION) {
  headers.Authorization = __ENV.AUTHORIZATION;
}

export const options = {
  discardResponseBodies: true,
  scenarios: {
    load: {
      executor: "constant-vus",
      vus: Number(__ENV.CONNECTIONS),
      duration: `${__ENV.SECONDS}s`,
      gracefulStop: "0s",
    },
  },
};

export default function () {
  const body = bodies[exec.scenario.iterationInTest % bodies.length];
  http.post(__ENV.URL, body, { headers, timeout: "60s" });
}

export function handleSummary({ metrics }) {
  const summary = {
    rate: metrics.http_reqs ? metrics.http_reqs.values.rate : 0,
    median_ms: metrics.http_req_duration ? metrics.http_req_duration.values.med : 0,
    failed: metrics.http_req_failed ? metrics.http_req_failed.values.passes : 0,
  };
  return { stdout: JSON.stringify(summary) };
}
