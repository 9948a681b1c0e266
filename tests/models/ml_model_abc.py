"""An abstract base class in the style of the one that models of the original service inherit."""

from abc import ABC, abstractmethod


class MLModelSchemaValidationException(Exception):  # noqa: N818  # the name is part of the contract
    """The input data does not fit the model's input schema."""


class MLModel(ABC):
    """Metadata as properties, two schemas, one method; the constructor takes nothing."""

    @property
    @abstractmethod
    def display_name(self): ...

    @property
    @abstractmethod
    def qualified_name(self): ...

    @property
    @abstractmethod
    def description(self): ...

    @property
    @abstractmethod
    def major_version(self): ...

    @property
    @abstractmethod
    def minor_version(self): ...

    @property
    @abstractmethod
    def input_schema(self): ...

    @property
    @abstractmethod
    def output_schema(self): ...

    @abstractmethod
    def predict(self, data): ...
