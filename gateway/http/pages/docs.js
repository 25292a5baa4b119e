// Shows the OpenAPI documents of both dialects, one at a time.
SwaggerUIBundle({
  dom_id: "#documentation",
  urls: [
    { name: "/process dialect", url: "/openapi/process.json" },
    { name: "/processes dialect", url: "/openapi/processes.json" },
  ],
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  deepLinking: true,
  // Without this a token is forgotten where one goes over to the other dialect.
  persistAuthorization: true,
  // Both would ask another host.
  validatorUrl: null,
  queryConfigEnabled: false,
});
