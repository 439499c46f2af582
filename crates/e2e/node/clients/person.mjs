/** Marks the requests of a person: a client may look at an authorization URL by itself before it opens it. */
export const PERSON = { 'x-observed': 'person' };
