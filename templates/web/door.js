
'use strict';
{
  // Where cookies know no ports, a session's pages lie behind a door: a secret in their path. What this origin keeps is
  // read by no other port. A page behind the door keeps it here; a page before it goes through it.
  const { base, entry, door } = document.currentScript.dataset;
  const name = `sekisho-door ${base}`;
  try {
    const kept = localStorage.getItem(name);
    // The server sends `#~DOOR` where nobody is signed in behind that door (any more).
    const closed = location.hash.startsWith('#~') ? location.hash.slice(2) : null;
    if (closed !== null) history.replaceState(null, '', location.pathname + location.search);
    if (door !== undefined) {
      if (kept !== door) localStorage.setItem(name, door);
    } else if (kept !== null && kept === closed) {
      localStorage.removeItem(name);
    } else if (kept !== null && /^[A-Za-z0-9_-]+$/.test(kept)) {
      location.replace(`${base}/~${kept}${entry}`);
    }
  } catch {
    // Without storage the person signs in once more.
  }
}
