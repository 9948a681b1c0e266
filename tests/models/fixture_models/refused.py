"""Classes that can not be served; a test names each and the reason."""

from fixture_models.plain import PlainModel

NOT_A_CLASS = 5


class NoDescription:
    display_name = "Plain"
    qualified_name = "plain"
    major_version = 1
    minor_version = 0
    input_schema = {}  # noqa: RUF012
    output_schema = {}  # noqa: RUF012

    def predict(self, data):
        return data


class BrokenConstructor(PlainModel):
    def __init__(self):
        message = "no weights"
        raise FileNotFoundError(message)


class BrokenProperty(PlainModel):
    @property
    def display_name(self):
        message = "not yet"
        raise RuntimeError(message)


class TextVersion(PlainModel):
    major_version = "1"


class BooleanVersion(PlainModel):
    minor_version = True


class DashedName(PlainModel):
    qualified_name = "iris-model"


class PrivateName(PlainModel):
    qualified_name = "_iris"


class NoMethod(PlainModel):
    predict = 5


class UnknownSchema(PlainModel):
    input_schema = 5


class WrongSchema(PlainModel):
    output_schema = {"type": "nonsense"}  # noqa: RUF012


class BatchIsNoMethod(PlainModel):
    predict_batch = 5


class RetrySafeIsText(PlainModel):
    retry_safe = "no"


class BrokenWarmup(PlainModel):
    def warmup(self):
        message = "no device"
        raise OSError(message)
