// Forms from JSON Schema, as far as people fill them in: an object whose members are texts, numbers, choices or
// ticks. What is more than that is written as JSON. The server checks what is sent; nothing is checked here that a field
// cannot do by itself.

export interface Field {
  name: string;
  label: string;
  hint: string;
  isRequired: boolean;
  kind: "text" | "long-text" | "number" | "integer" | "boolean" | "choice" | "json";
  choices: readonly string[];
  minimum: number | undefined;
  maximum: number | undefined;
  /// What stands there at first.
  initial: string;
}

type Schema = Record<string, unknown>;

const LONG_TEXT = 200;

/// `undefined`: no form, and no data.
export function fieldsOf(form: unknown): Field[] | undefined {
  if (!isObject(form)) {
    return undefined;
  }
  const { properties, required } = form;
  const needed = Array.isArray(required) ? required : [];
  const described = isObject(properties) ? properties : {};
  // What is required and not described still has to be said.
  const names = [...new Set([...Object.keys(described), ...needed.map(String)])];
  return names.map((name) => fieldOf(name, described[name], needed.includes(name)));
}

function fieldOf(name: string, described: unknown, isRequired: boolean): Field {
  const schema: Schema = isObject(described) ? described : {};
  const text = (field: string): string => (typeof schema[field] === "string" ? (schema[field] as string) : "");
  const bound = (field: string): number | undefined =>
    typeof schema[field] === "number" ? (schema[field] as number) : undefined;
  const choices = Array.isArray(schema["enum"]) ? schema["enum"].map((choice) => textOf(choice)) : [];
  const { default: initial } = schema;
  return {
    name,
    label: text("title") || name,
    hint: text("description"),
    isRequired,
    kind: choices.length > 0 ? "choice" : kindOf(schema),
    choices,
    minimum: bound("minimum"),
    maximum: bound("maximum"),
    initial: initial === undefined ? "" : textOf(initial),
  };
}

function kindOf(schema: Schema): Field["kind"] {
  switch (schema["type"]) {
    case "string":
      return typeof schema["maxLength"] === "number" && schema["maxLength"] > LONG_TEXT ? "long-text" : "text";
    case "number":
    case "integer":
    case "boolean":
      return schema["type"];
    default:
      return "json";
  }
}

/// What was filled in. A field that was left empty is not sent.
export function dataOf(fields: readonly Field[], filled: Record<string, string>): Record<string, unknown> {
  const data: Record<string, unknown> = {};
  for (const field of fields) {
    const text = filled[field.name] ?? field.initial;
    if (field.kind === "boolean") {
      data[field.name] = text === "true";
    } else if (text !== "") {
      data[field.name] = valueOf(field, text);
    }
  }
  return data;
}

function valueOf(field: Field, text: string): unknown {
  switch (field.kind) {
    case "number":
    case "integer":
      return Number(text);
    case "json":
    case "choice":
      return parsed(text);
    default:
      return text;
  }
}

/// What is no JSON is a text: whoever writes a word means that word.
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
