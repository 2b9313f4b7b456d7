// GET a URL with Node's own fetch, which heeds the proxy variables when NODE_USE_ENV_PROXY=1 (Node 24 and later).
import { report, url } from "./report.mjs";

await report(async () => {
  const reply = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  return { status: reply.status, body: await reply.text() };
});
