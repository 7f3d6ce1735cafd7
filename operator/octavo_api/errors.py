"""What a user's InferenceService can get wrong, said with the field, the value and the remedy."""


class InvalidSpec(Exception):
    """`field` is the path as in the YAML, e.g. spec.model.uri."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field} {value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy
