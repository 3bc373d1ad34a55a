namespace Flotilla.Client;

/// <summary>
/// The slot of a key, as the engine's <c>Flotilla.Topology.Slot</c> computes it. It is written down here once more
/// because the client library must not reference the engine, and because these 30 lines are a published standard (the
/// Redis Cluster specification), not our idea that could change in one place. A test holds the two against each other.
/// </summary>
public static class KeySlot
{
    /// <summary>How many slots there are.</summary>
    public const int Count = 16384;

    private static readonly ushort[] Table = MakeTable();

    /// <summary><c>CRC16(key) mod 16384</c>, of the key's first non-empty <c>{hash tag}</c> if it has one.</summary>
    public static int Of(ReadOnlySpan<byte> key)
    {
        var open = key.IndexOf((byte)'{');
        if (open >= 0)
        {
            var length = key[(open + 1)..].IndexOf((byte)'}');
            if (length > 0)
            {
                key = key.Slice(open + 1, length);
            }
        }

        ushort crc = 0;
        foreach (var b in key)
        {
            crc = (ushort)((crc << 8) ^ Table[(crc >> 8) ^ b]);
        }

        return crc % Count;
    }

    /// <summary>CRC-16/XMODEM: polynomial 0x1021, start 0, nothing reflected.</summary>
    private static ushort[] MakeTable()
    {
        var table = new ushort[256];
        for (var i = 0; i < table.Length; i++)
        {
            var crc = (ushort)(i << 8);
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (ushort)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
            }

            table[i] = crc;
        }

        return table;
    }
}
