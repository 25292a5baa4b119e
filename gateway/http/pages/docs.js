// Show the OpenAPI documents of both dialects, one at a time.
SwaggerUIBundle({
  dom_id: "#documentation",
  urls: [
    { name: "/process dialect", url: "/openapi/process.json" },
    { name: "/processes dialect", url: "/openapi/processes.json" },
  ],
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  deepLinking: true,
  // Keep the token when the reader switches to the other dialect.
  persistAuthorization: true,
  // Both of these would load from another host.
  validatorUrl: null,
  queryConfigEnabled: false,
});
