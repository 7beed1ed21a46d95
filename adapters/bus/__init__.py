"""Bus: Kafka and Faust below, what every stage does with an event above."""
