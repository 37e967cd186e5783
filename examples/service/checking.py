"""What a request may hold: bodies are read up to a limit, and every number is checked.

A body is JSON, ``{"x": [[...], [...], ...]}``: one sequence, one list of features per step.
Whatever is wrong becomes an ``HTTPException`` that says where it is and what was expected.
"""

import asyncio
from typing import Annotated

import numpy as np
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, create_model
from starlette.requests import ClientDisconnect


async def read_body(request, max_bytes, max_seconds):
    """Return the body of a request, without ever holding more than ``max_bytes`` of it."""
    too_large = HTTPException(413, f"the body must have at most {max_bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(max_seconds):
            async for part in request.stream():
                if len(body) + len(part) > max_bytes:
                    raise too_large
                body += part
    except TimeoutError:
        message = f"the body must arrive within {max_seconds} seconds"
        raise HTTPException(408, message) from None
    except ClientDisconnect:
        raise HTTPException(400, "the client left before the end of the body") from None
    return bytes(body)


class Checker:
    """Checks and converts JSON for a model with ``features`` numbers in a step.

    Parameters
    ----------
    features : int
    max_steps : int
        The longest sequence.
    dtype : dtype
        That of the model; a number that it cannot hold is refused.
    """

    def __init__(self, features, max_steps, dtype):
        self._dtype = np.dtype(dtype)
        largest = float(np.finfo(self._dtype).max)
        number = Annotated[float, Field(ge=-largest, le=largest, allow_inf_nan=False)]
        step = Annotated[list[number], Field(min_length=features, max_length=features)]
        # With a million wrong numbers the answer names the first one only.
        step = Annotated[step, FailFast()]
        steps = Annotated[list[step], Field(min_length=1, max_length=max_steps), FailFast()]
        strict = ConfigDict(strict=True, extra="forbid")
        self.sequence = create_model("Sequence", __config__=strict, x=(steps, ...))
        self.step = create_model("Step", __config__=strict, x=(step, ...))

    def array(self, model: type[BaseModel], body):
        """Return the field ``x`` of a JSON text as an array, or raise an ``HTTPException``."""
        try:
            found = model.model_validate_json(body)
        except ValidationError as error:
            raise HTTPException(*_explained(error)) from None
        return np.array(found.x, self._dtype)

    def answer(self, y):
        """Return an answer of the model as lists, or refuse it: JSON has no NaN."""
        if not np.isfinite(y).all():
            detail = [
                {"loc": ["body", "x"], "msg": "The answer to these numbers is not finite"}
            ]
            raise HTTPException(422, detail)
        return np.asarray(y).tolist()


def _explained(error):
    """Return the status and the detail for what pydantic has found."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return 400, found[0]["msg"]
    return 422, [{"loc": ["body", *one["loc"]], "msg": _message(one)} for one in found[:10]]


def _message(found):
    """Return what was expected and what came; of long inputs the message says the length."""
    came = found["input"]
    if isinstance(came, (list, dict)):
        return found["msg"]
    return f"{found['msg']}, got {came!r:.40}"
