"""The options that a translator and a judge share: which model answers, where, and how it is asked."""

from __future__ import annotations

import re
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

# Options that change speed, money or access, and no result: no part of cache keys.
NO_RESULT = {"concurrency", "timeout", "retries", "key_variable", "input_price", "output_price"}


class Connection(BaseModel):
    """Options of an endpoint. The key comes from an environment variable, and is written nowhere."""

    kind: ClassVar[str]  # of the component whose options these are

    model: str = Field(min_length=1, description="Name of the model, as the endpoint calls it.")
    base_url: str = Field("https://api.openai.com/v1", description="Address of the endpoint, up to /v1.")
    key_variable: str | None = Field(
        "OPENAI_API_KEY", description="Environment variable with the key; null: the endpoint wants none."
    )
    limit_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the endpoint calls the limit of tokens."
    )
    concurrency: int = Field(8, ge=1, description="Requests at a time at the most.")
    timeout: float = Field(120.0, gt=0, description="Seconds that a request may take.")
    retries: int = Field(5, ge=0, description="Times that a failed request is repeated.")
    input_price: float | None = Field(None, ge=0, description="Price of a million input tokens, in any currency.")
    output_price: float | None = Field(None, ge=0, description="Price of a million output tokens, in any currency.")

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as https://api.openai.com/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a key has no place in an address; name an environment variable in key_variable")
        return url.rstrip("/")

    @field_validator("key_variable")
    @classmethod
    def _variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY; not the key itself")
        return name
