"""Predicts the species of an iris from four measurements; a reader's map.

``iris_predict`` has the model to serve, ``iris_train`` makes its parameters (extra ``train``),
``records`` knows what goes in and what comes out, ``errors`` what is raised. ``parameters``
holds the trained network as ONNX.
"""
