namespace Flotilla.Data.Tests.Harness;

/// <summary>What an operation does.</summary>
public enum OperationKind
{
    Put,
    Remove,
    RemovePrefix,
    Get,
    Visit,
    VisitPrefix,
    Snapshot,
    ForgetSnapshot,
    Reload,
}

/// <summary>
/// One step of a script. Everything that it needs is in it, so that a script still means the same after steps were
/// dropped from it.
/// </summary>
/// <param name="Kind">What to do.</param>
/// <param name="Key">The key, prefix, or where a visit starts; of <see cref="OperationKind.ForgetSnapshot"/> the first byte chooses the snapshot.</param>
/// <param name="Other">For <see cref="OperationKind.VisitPrefix"/>: where to start.</param>
/// <param name="ValueLength">For puts.</param>
/// <param name="Version">For puts; the value's bytes follow from it too.</param>
/// <param name="ExpiresAtMs">For puts.</param>
public sealed record Operation(OperationKind Kind, byte[] Key, byte[] Other, int ValueLength, Version Version, long ExpiresAtMs)
{
    public override string ToString() => Kind switch
    {
        OperationKind.Put => $"Put {Show(Key)} {ValueLength} bytes, version {Version}, expires {ExpiresAtMs}",
        OperationKind.VisitPrefix => $"VisitPrefix {Show(Key)} from {Show(Other)}",
        _ => $"{Kind} {Show(Key)}",
    };

    /// <summary>The value of a put: bytes that differ from write to write.</summary>
    public byte[] MakeValue()
    {
        var value = new byte[ValueLength];
        var state = Version.Counter * 0x9E37_79B9_7F4A_7C15;
        for (var i = 0; i < value.Length; i++)
        {
            if (i % 8 == 0)
            {
                state = (state ^ (state >>> 29)) * 0xBF58_476D_1CE4_E5B9;
            }

            value[i] = (byte)(state >>> (8 * (i % 8)));
        }

        return value;
    }

    private static string Show(byte[] key) => key.Length <= 24 ? Convert.ToHexString(key) : $"{Convert.ToHexString(key, 0, 24)}… ({key.Length} bytes)";
}
