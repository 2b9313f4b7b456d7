// GET a URL with undici's fetch through its EnvHttpProxyAgent.
import { createRequire } from "node:module";
import { report, url } from "./report.mjs";

const { EnvHttpProxyAgent, fetch, setGlobalDispatcher } = createRequire(process.env.CLIENTS + "/")("undici");
setGlobalDispatcher(new EnvHttpProxyAgent());

await report(async () => {
  const reply = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  return { status: reply.status, body: await reply.text() };
});
