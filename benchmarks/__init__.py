"""The project's own benchmarks: striderule and its peers take turns on published networks' shapes and on images."""
