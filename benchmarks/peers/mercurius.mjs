// Serve the data with Mercurius on Fastify: just-in-time compilation, a loader for each relation, and
// pg with prepared statements. The loaders do not cache. The documentation recommends that for speed
// if the same object is not requested twice.
//
// Usage: node mercurius.mjs PORT DATABASE_URL

import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

const [port, connectionString] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, max: 16 });

const schema = `
  enum Mode { SIMPLE SWITCH }
  enum State { ENABLED DISABLED }
  type Espace {
    databaseId: Int! reference: String! name: String! description: String! icon: String!
  }
  type Argument { reference: String! value: String! }
  type Action {
    databaseId: Int! sourceName: String! action: String! runsWhen: State! arguments: [Argument!]!
  }
  type Input {
    databaseId: Int! reference: String! name: String! type: String! askedWhen: State!
  }
  type Profile { databaseId: Int! name: String! }
  type Process {
    databaseId: Int! reference: String! name: String! nameEnable: String! nameDisable: String!
    description: String! icon: String! mode: Mode! state: State!
    espace: Espace actions: [Action!]! inputs: [Input!]! profiles: [Profile!]!
  }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type ProcessConnection { nodes: [Process!]! pageInfo: PageInfo! }
  type Query {
    processes(first: Int!, after: String): ProcessConnection
    process(reference: String!): Process
  }
`;

// Columns get the names of the schema in SQL, so that no resolver renames them.
const state = `CASE WHEN enabled THEN 'ENABLED' ELSE 'DISABLED' END`;
const process_ = `id AS "databaseId", espace_id AS "espaceId", reference, name,
  name_enable AS "nameEnable", name_disable AS "nameDisable", description, icon,
  upper(mode) AS mode, ${state} AS state`;
const statements = {
  page: `SELECT ${process_} FROM process WHERE id > $1 ORDER BY id LIMIT $2`,
  one: `SELECT ${process_} FROM process WHERE reference = $1`,
  espace: `SELECT id AS "databaseId", reference, name, description, icon FROM espace
    WHERE id = ANY ($1::integer[])`,
  actions: `SELECT process_id, action.id AS "databaseId", source.name AS "sourceName", action,
    ${state} AS "runsWhen", arguments FROM action JOIN source ON source.id = source_id
    WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, position`,
  inputs: `SELECT process_id, id AS "databaseId", reference, name, type, ${state} AS "askedWhen"
    FROM input WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, position`,
  profiles: `SELECT process_id, id AS "databaseId", name
    FROM authorisation JOIN profile ON profile.id = profile_id
    WHERE process_id = ANY ($1::integer[]) ORDER BY process_id, profile.id`,
};

async function rows(name, ...values) {
  return (await pool.query({ name, text: statements[name], values })).rows;
}

const resolvers = {
  Query: {
    async processes(_, { first, after }) {
      const start = after ? JSON.parse(Buffer.from(after, "base64").toString())[1] : 0;
      const page = await rows("page", start, first + 1);
      const nodes = page.slice(0, first);
      const position = nodes.length ? `["database_id", ${nodes.at(-1).databaseId}]` : null;
      const endCursor = position && Buffer.from(position).toString("base64");
      return { nodes, pageInfo: { hasNextPage: page.length > first, endCursor } };
    },
    async process(_, { reference }) {
      return (await rows("one", reference))[0] ?? null;
    },
  },
};

/** Return a loader of the rows that belong to processes. */
function parts(name) {
  const loader = async (queries) => {
    const lists = new Map(queries.map(({ obj }) => [obj.databaseId, []]));
    for (const row of await rows(name, [...lists.keys()])) {
      lists.get(row.process_id).push(row);
    }
    return queries.map(({ obj }) => lists.get(obj.databaseId));
  };
  return { loader, opts: { cache: false } };
}

async function espaces(queries) {
  const ids = new Set(queries.map(({ obj }) => obj.espaceId));
  const byId = new Map((await rows("espace", [...ids])).map((row) => [row.databaseId, row]));
  return queries.map(({ obj }) => byId.get(obj.espaceId) ?? null);
}

const loaders = {
  Process: {
    espace: { loader: espaces, opts: { cache: false } },
    actions: parts("actions"),
    inputs: parts("inputs"),
    profiles: parts("profiles"),
  },
};

const app = Fastify();
app.register(mercurius, { schema, resolvers, loaders, jit: 1, path: "/" });
await app.listen({ port: Number(port), host: "127.0.0.1" });
process.on("SIGTERM", () => process.exit(0));
