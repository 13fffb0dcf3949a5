"use strict";
const root = document.getElementById("swagger-ui");
SwaggerUIBundle({ url: root.dataset.document, domNode: root, deepLinking: true, validatorUrl: null });
