// Run GraphiQL against this server. The token is kept for this tab only, until it is closed.
const KEY = "process-gateway-token";
const field = document.getElementById("token");
field.value = sessionStorage.getItem(KEY) || "";
field.addEventListener("input", () => sessionStorage.setItem(KEY, field.value));

const QUERY = `# The processes of the home, and what they run.
{
  processes(first: 5) {
    totalCount
    nodes {
      reference
      displayName
      state
      espace { name }
      actions {
        sourceName
        action
        subprocess { reference }
      }
    }
  }
}
`;

// The gateway answers a subscription with a stream of events, and everything else with JSON.
async function fetcher(operation) {
  const headers = { "Content-Type": "application/json", Accept: "application/json, text/event-stream" };
  if (field.value) headers.Authorization = field.value;
  const stop = new AbortController();
  const body = JSON.stringify(operation);
  const response = await fetch("/graphql", { method: "POST", headers, body, signal: stop.signal });
  const isStream = response.headers.get("Content-Type").startsWith("text/event-stream");
  return isStream ? answers(response, stop) : response.json();
}

// Returns the answers in a stream, until it ends or GraphiQL stops it.
function answers(response, stop) {
  const events = read(response);
  const next = () =>
    events.next().catch((error) => {
      if (stop.signal.aborted) return { done: true };
      throw error;
    });
  const end = async () => {
    stop.abort();
    return { done: true };
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}

async function* read(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (text + part.value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const [, data] = event.match(/^data: (.+)$/m) ?? []; // comments and `complete` have none
      if (data) yield JSON.parse(data);
    }
  }
}

ReactDOM.render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: QUERY, isHeadersEditorEnabled: false }),
  document.getElementById("graphiql"),
);
