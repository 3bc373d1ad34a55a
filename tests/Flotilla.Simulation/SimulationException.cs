namespace Flotilla.Simulation;

/// <summary>Something that must never happen has happened.</summary>
public sealed class SimulationException(string message) : Exception(message);
