/** Relative addresses: it may stand under any path of a proxy. */
export const DOCS_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidemark: HTTP</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/docs.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/docs.js"></script>
</body>
</html>
`;

export const DOCS_SCRIPT = `window.ui = SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
`;

export const DOCS_STYLE = `body { margin: 0; background: #fafafa; }
.swagger-ui .info { margin: 30px 0 10px; }
.swagger-ui .info code { color: #3b4151; }
.swagger-ui .scheme-container { padding: 10px 0; position: sticky; top: 0; z-index: 2; }
.swagger-ui .servers, .swagger-ui .servers-title, .swagger-ui .response-col_links { display: none; }
.swagger-ui .auth-container input { width: 100%; max-width: none; box-sizing: border-box; }
.swagger-ui .scheme-container .schemes { justify-content: flex-end; }
.swagger-ui .opblock { scroll-margin-top: 80px; }
.swagger-ui .parameters-col_description input { width: 100%; max-width: 600px; }
`;
