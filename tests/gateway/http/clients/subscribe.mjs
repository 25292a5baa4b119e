// Subscribe through a client, create a process through the same client when the first answer is
// there, and print both answers and that of the mutation.

import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";

const [name, url, token] = process.argv.slice(1);
const COUNT = "subscription Count { processes { totalCount } }";
const CREATE = `mutation Create($process: NewProcess!) {
  createProcess(process: $process) { process { reference } }
}`;
const variables = { process: { reference: "lamp", name: "Lamp" } };
const headers = { Authorization: `Bearer ${token}` };

const overSocket = () =>
  createWsClient({ url: url.replace("http", "ws"), connectionParams: headers, retryAttempts: 0 });

// Each client as two functions: subscribe with a callback, and mutate.

function plain(client) {
  const run = (query, variables, next) =>
    new Promise((resolve, reject) => {
      client.subscribe({ query, variables }, { next, error: reject, complete: resolve });
    });
  return {
    subscribe: (next) => run(COUNT, {}, ({ data }) => next(data)).catch(fail),
    mutate: async () => {
      let answer;
      await run(CREATE, variables, ({ data }) => (answer = data));
      return answer;
    },
  };
}

function apollo() {
  const client = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(overSocket()) });
  return {
    subscribe: (next) =>
      client.subscribe({ query: gql(COUNT) }).subscribe({ next: ({ data }) => next(data), error: fail }),
    mutate: async () => (await client.mutate({ mutation: gql(CREATE), variables })).data,
  };
}

function urql(options) {
  const client = new Client({ url, preferGetMethod: false, ...options });
  return {
    subscribe: (next) =>
      client.subscription(COUNT, {}).subscribe(({ data, error }) => (error ? fail(error) : next(data))),
    mutate: async () => (await client.mutation(CREATE, variables).toPromise()).data,
  };
}

function urqlOverSocket() {
  const socket = overSocket();
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? "" }, sink) }),
  });
  return urql({ exchanges: [subscriptionExchange({ forwardSubscription, enableAllOperations: true })] });
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

const client = {
  "graphql-ws": () => plain(overSocket()),
  "graphql-sse": () => plain(createSseClient({ url, headers, retryAttempts: 0 })),
  "apollo over graphql-ws": apollo,
  "urql over graphql-ws": urqlOverSocket,
  "urql over events": () => urql({ exchanges: [fetchExchange], fetchOptions: { headers }, fetchSubscriptions: true }),
}[name]();

const answers = [];
let mutated;
client.subscribe(async (data) => {
  answers.push(data);
  if (answers.length === 1) mutated = client.mutate();
  if (answers.length === 2) {
    console.log(JSON.stringify({ answers, mutated: await mutated }));
    process.exit(0);
  }
});
