package finding

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of a Report and of everything in it.
//
//go:embed schema.json
var Schema []byte

// OpenAPI is the OpenAPI 3.1 document (YAML) of the endpoint that serves findings. It refers to Schema as schema.json.
//
//go:embed openapi.yaml
var OpenAPI []byte
