// Reads the answers of a SCIM server with the models of npm `scimmy`, which refuse what they do not know.
//
//   scimmy.mjs FILE
//
// Each line of the file is an answer: {"request", "status", "body"}. Prints {ok, read, refused}: how many answers of which kind
// were read, and for each one that was not read, why. An attribute that the model drops counts as not read.
import { readFileSync } from 'node:fs';
import SCIMMY from 'scimmy';
import { run } from './outcome.mjs';

const { Messages, Schemas, Types } = SCIMMY;
Schemas.User.definition.extend(Schemas.EnterpriseUser.definition);

/** What the server adds to every resource, beside what its schema has. */
const COMMON = new Set(['schemas', 'id', 'externalId', 'meta']);

const RESOURCES = [Schemas.User, Schemas.Group, Schemas.ServiceProviderConfig, Schemas.ResourceType];
/** RFC 7643 §8.5 has it in its example, and the model leaves it out. */
const DROPPED = new Set(['authenticationSchemes.0.primary']);
const SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:Schema';

function attribute({ name, type, subAttributes = [], ...told }) {
  const { multiValued, description, required, canonicalValues, caseExact, mutability, returned, uniqueness, referenceTypes } = told;
  const config = { multiValued, description, required, caseExact, mutable: mutability, returned, uniqueness };
  if (canonicalValues) config.canonicalValues = canonicalValues;
  if (referenceTypes) config.referenceTypes = referenceTypes;
  return new Types.Attribute(type, name, config, subAttributes.map(attribute));
}

/** Every value of `told` has to be in `model` with the same text. */
function compare(told, model, path) {
  for (const [name, value] of Object.entries(told ?? {})) {
    const read = model?.[name];
    const at = `${path}${name}`;
    if (COMMON.has(at) || DROPPED.has(at)) continue;
    if (value !== null && typeof value === 'object') compare(value, read, `${at}.`);
    else if (String(read) !== String(value)) throw new Error(`${at}: ${JSON.stringify(value)} became ${JSON.stringify(read)}`);
  }
}

function resource(body) {
  if (body.schemas?.includes(SCHEMA)) {
    new Types.SchemaDefinition(body.name, body.id, body.description, body.attributes.map(attribute));
    return 'Schema';
  }
  const model = RESOURCES.find((one) => body.schemas?.includes(one.id));
  if (!model) throw new Error(`no model for ${JSON.stringify(body.schemas)}`);
  const made = new model(body, 'out');
  compare(body, JSON.parse(JSON.stringify(made)), '');
  return model.definition.name;
}

function error({ status, body }) {
  try {
    // Reading an error throws what it says.
    new Messages.ErrorResponse(body);
  } catch (said) {
    if (!(said instanceof Types.Error)) throw said;
    const same = Number(said.status) === status && said.scimType === body.scimType && said.message === body.detail;
    if (!same) throw new Error(`${JSON.stringify(body)} became ${said.status} ${said.scimType} ${said.message}`);
  }
  return 'Error';
}

function answer(one) {
  if (one.status >= 400) return [error(one)];
  if (!one.body.schemas?.includes(Messages.ListResponse.id)) return [resource(one.body)];
  const { Resources: found, ...list } = one.body;
  const read = new Messages.ListResponse({ ...list, Resources: found });
  if (read.Resources.length !== found.length || read.totalResults !== list.totalResults) throw new Error('the list became shorter');
  return ['List', ...found.map(resource)];
}

await run(60, async () => {
  const read = {};
  const refused = [];
  for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
    const one = JSON.parse(line);
    try {
      for (const kind of answer(one)) read[kind] = (read[kind] ?? 0) + 1;
    } catch (why) {
      refused.push({ request: one.request, status: one.status, why: why.message });
    }
  }
  return { read, refused };
});
