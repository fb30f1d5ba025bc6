// Reads a JSON list of queries from stdin; writes, for each, whether Grafana's grammar takes it as it is.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

function accepts(query) {
  let faulty = false;
  parser.parse(query).iterate({
    enter(node) {
      faulty ||= node.type.isError;
    },
  });
  return !faulty;
}

const queries = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(accepts)));
