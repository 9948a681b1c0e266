"""A model of the original kind: a subclass of the abstract base class with `schema` objects."""

from ml_model_abc import MLModel, MLModelSchemaValidationException
from schema import Or, Schema, SchemaError

MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


class FlowerModel(MLModel):
    """Tells the species by the petal's length, and checks its input itself, as was the custom."""

    display_name = "Flower Model"
    qualified_name = "flower_model"
    description = "Tells species of iris apart."
    major_version = 0
    minor_version = 1
    input_schema = Schema(dict.fromkeys(MEASURES, float))
    output_schema = Schema({"species": Or("setosa", "versicolor", "virginica")})

    def predict(self, data):
        try:
            self.input_schema.validate(data)
        except SchemaError as error:
            message = f"Failed to validate input data: {error}"
            raise MLModelSchemaValidationException(message) from error
        length = data["petal_length"]
        if length < 2.5:
            return {"species": "setosa"}
        return {"species": "versicolor" if length < 4.9 else "virginica"}
