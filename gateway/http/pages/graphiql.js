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

async function fetcher(operation) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (field.value) headers.Authorization = field.value;
  const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify(operation) });
  return response.json();
}

ReactDOM.render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: QUERY, isHeadersEditorEnabled: false }),
  document.getElementById("graphiql"),
);
