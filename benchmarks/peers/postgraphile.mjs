// Serve the data with PostGraphile 5, set up for production as its documentation describes: the Amber
// preset, the pg adaptor with a pool, no GraphiQL, no explain. NODE_ENV=production and
// GRAPHILE_ENV=production must be set. They turn off its development checks.
//
// Usage: node postgraphile.mjs PORT DATABASE_URL

import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const [port, connectionString] = process.argv.slice(2);

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString, schemas: ["public"], poolConfig: { max: 16 } })],
  grafserv: { graphqlPath: "/", graphiql: false, websockets: false },
  grafast: { explain: false },
};

const serv = postgraphile(preset).createServ(grafserv);
const server = createServer();
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await serv.addTo(server);
await serv.ready();
server.listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
