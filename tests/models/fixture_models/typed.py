"""Models whose schemas are classes; they receive and return instances."""

import msgspec
import pydantic

from fixture_models.plain import PlainModel


class Order(pydantic.BaseModel):
    price: float
    count: int = pydantic.Field(ge=1)


class Total(pydantic.BaseModel):
    total: float


class PydanticModel(PlainModel):
    qualified_name = "pydantic_order"
    input_schema = Order
    output_schema = Total

    def predict(self, data):
        return Total(total=data.price * data.count)


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: float
    y: float = 0.0


class Distance(msgspec.Struct):
    distance: float


class StructModel(PlainModel):
    qualified_name = "struct_point"
    input_schema = Point
    output_schema = Distance

    def predict(self, data):
        return Distance(distance=(data.x**2 + data.y**2) ** 0.5)
