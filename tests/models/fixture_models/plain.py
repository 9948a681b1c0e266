"""What the other fixture models have in common: a complete face, anything in, anything out."""


class PlainModel:
    display_name = "Plain"
    qualified_name = "plain"
    description = "A fixture."
    major_version = 1
    minor_version = 0
    input_schema = {}  # noqa: RUF012  # models declare their schemas so
    output_schema = {}  # noqa: RUF012

    def predict(self, data):
        raise NotImplementedError


class EchoModel(PlainModel):
    """Returns what it is given."""

    qualified_name = "echo"

    def predict(self, data):
        return data


class WideModel(PlainModel):
    """Returns a text of so many characters: a small question with a large answer."""

    qualified_name = "wide"
    input_schema = {"type": "integer"}  # noqa: RUF012

    def predict(self, data):
        return "x" * data
