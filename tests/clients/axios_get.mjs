// GET a URL with axios, which heeds the proxy variables by itself.
import { createRequire } from "node:module";
import { report, url } from "./report.mjs";

const axios = createRequire(process.env.CLIENTS + "/")("axios");

await report(async () => {
  const reply = await axios.get(url, { timeout: 20_000, responseType: "text", validateStatus: () => true });
  return { status: reply.status, body: reply.data };
});
