// What the Node clients share: the URL to ask for, and the one line of JSON that says what came of it.

export const url = process.argv[2];

/** Prints the status and body that `get` resolves to, or the error with its causes. */
export async function report(get) {
  const result = { status: null, body: null, error: null };
  try {
    Object.assign(result, await get());
  } catch (error) {
    result.error = [...causes(error)].join(" / ");
  }
  console.log(JSON.stringify(result));
}

function* causes(error) {
  for (; error; error = error.cause) {
    yield `${error.name}: ${error.message}`;
  }
}
