namespace Flotilla.Registers;

/// <summary>Assertions for what must never be false, on in Release too: a replica that broke its own rules must stop, not guess.</summary>
internal static class Invariant
{
    public static void Require(bool holds, string rule)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"broken invariant: {rule}");
        }
    }
}
