"""The parts of `processing.models.download`, from the outside in.

lock        one process fetches a model, the others wait
transfer    one try to bring the rest of a file
partial     what has come so far, and what it belongs to
stream      one request, which can be cancelled and notices a silent server
failures    what went wrong, as a sentence that says what to do
progress    how far it is
"""
