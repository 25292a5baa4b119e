// Ask the same query twice through a client that sends the hashes of queries, and print the data,
// with what each HTTP request had and which status it got.

import { createHash } from "node:crypto";

import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

const [name, url, token, accept] = process.argv.slice(1);
const query = "query Count { processes { totalCount } }";
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

const requests = [];

async function recorded(address, options) {
  const headers = { ...options.headers, authorization: token, ...(accept && { accept }) };
  const response = await fetch(address, { ...options, headers });
  const sent = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(address).searchParams);
  requests.push({
    method: options.method ?? "GET",
    query: Boolean(sent.query),
    hash: String(JSON.stringify(sent.extensions)).includes("sha256Hash"),
    status: response.status,
  });
  return response;
}

function apollo(useGETForHashedQueries) {
  const link = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const http = new HttpLink({ uri: url, fetch: recorded });
  const client = new ApolloClient({ cache: new InMemoryCache(), link: link.concat(http) });
  return () => client.query({ query: gql(query), fetchPolicy: "no-cache" });
}

function urql(preferGetForPersistedQueries) {
  const exchanges = [persistedExchange({ preferGetForPersistedQueries }), fetchExchange];
  const client = new Client({ url, exchanges, fetch: recorded, preferGetMethod: false });
  return () => client.query(query, {}).toPromise();
}

const ask = {
  "apollo POST": () => apollo(false),
  "apollo GET": () => apollo(true),
  "urql POST": () => urql(false),
  "urql GET": () => urql("force"),
}[name]();

const answers = [];
for (let time = 0; time < 2; time++) {
  const { data, error } = await ask();
  answers.push({ data, error: error ? String(error) : null });
}
console.log(JSON.stringify({ answers, requests }));
