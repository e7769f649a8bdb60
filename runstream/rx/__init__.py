"""The pipeline and its stages as Rx operators, and operators on signals."""
