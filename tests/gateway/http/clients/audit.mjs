// Run the audits of graphql-http on a URL, and print their results.

import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(1);

const results = await auditServer({
  url,
  fetchFn: (address, options = {}) =>
    fetch(address, { ...options, headers: { ...options.headers, authorization: token } }),
});
console.log(
  JSON.stringify(
    results.map(({ id, name, status, reason }) => ({ id, name, status, reason: reason ?? "" })),
  ),
);
