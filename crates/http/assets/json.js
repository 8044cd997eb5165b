// JSON without loss. `JSON.parse` would turn `1.10` into `1.1`, round large integers and drop duplicate keys. A window on a store
// shows what is there, so that this module keeps the text of each value.

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;
const OTHER = /[^,\]}\s]+/y;

/**
 * Returns the tree of a JSON text that `JSON.parse` accepts. A node has `kind` (`object`, `array`, `string` or `other`), its
 * `start` and `end`, and `members` as `[name, node]` or `items`.
 */
export function outline(text) {
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) throw new SyntaxError(`no JSON at ${at}`);
    at = pattern.lastIndex;
    return found[0];
  };
  const value = () => {
    take(SPACE);
    const start = at;
    const node = { start, end: 0, kind: "other" };
    const first = text[at];
    if (first === "{" || first === "[") {
      const isObject = first === "{";
      const close = isObject ? "}" : "]";
      const parts = [];
      at += 1;
      take(SPACE);
      while (text[at] !== close) {
        if (isObject) {
          const name = JSON.parse(take(STRING));
          take(SPACE);
          at += 1; // the colon
          parts.push([name, value()]);
        } else {
          parts.push(value());
        }
        take(SPACE);
        if (text[at] === ",") {
          at += 1;
          take(SPACE);
        } else if (text[at] !== close) {
          throw new SyntaxError(`no JSON at ${at}`);
        }
      }
      at += 1;
      node.kind = isObject ? "object" : "array";
      node[isObject ? "members" : "items"] = parts;
    } else {
      node.kind = take(first === '"' ? STRING : OTHER) && first === '"' ? "string" : "other";
    }
    node.end = at;
    return node;
  };
  const root = value();
  root.text = text;
  return root;
}

/** Returns the last member with this name, as `JSON.parse` does. */
export function member(node, name) {
  return node?.members?.findLast(([known]) => known === name)?.[1];
}

/** Returns the JSON with indentation. Every number, escape and key keeps its text. */
export function pretty(text, root = outline(text)) {
  const lines = [];
  const write = (node, indent, before, after) => {
    const parts = node.members ?? node.items;
    if (!parts?.length) return lines.push(`${indent}${before}${text.slice(node.start, node.end).trim()}${after}`);
    lines.push(`${indent}${before}${node.members ? "{" : "["}`);
    parts.forEach((part, index) => {
      const comma = index + 1 < parts.length ? "," : "";
      const [name, child] = node.members ? part : ["", part];
      write(child, `${indent}  `, node.members ? `${JSON.stringify(name)}: ` : "", comma);
    });
    lines.push(`${indent}${node.members ? "}" : "]"}${after}`);
  };
  write(root, "", "", "");
  return lines.join("\n");
}
