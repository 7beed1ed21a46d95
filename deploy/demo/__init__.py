"""Demo: two real videos in, five searches answered; what a newcomer sees first."""
