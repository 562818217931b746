"""HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530): who sent this, is it whole, is it fresh.

A request is signed over its method, path and query, authority, content type and the digest of its body, with `created`,
a random `nonce`, the algorithm `hmac-sha256` and the agent's name as `keyid`. An answer is signed over its
status and digest, bound to the request by the request's own signature (`;req`, RFC 9421 section 2.4).
Nothing here reads a clock or keeps state: the caller passes `now` and remembers nonces (`Replays`).
"""
