using System.Globalization;
using Flotilla.Contracts;

namespace Flotilla.Cli.Flags;

/// <summary>How settings are written: numbers, durations, sizes, addresses, choices.</summary>
internal static class Readers
{
    private static readonly (string Suffix, double Milliseconds)[] TimeUnits = [("ms", 1), ("us", 0.001), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    private static readonly (string Suffix, long Bytes)[] SizeUnits =
        [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("K", 1L << 10), ("M", 1L << 20), ("G", 1L << 30), ("B", 1)];

    /// <summary>Any text.</summary>
    public static bool Text(string text, out string value, out string expected)
    {
        (value, expected) = (text, "");
        return true;
    }

    /// <summary>Text that is not empty.</summary>
    public static bool SomeText(string text, out string value, out string expected)
    {
        (value, expected) = (text, "something that is not empty is needed");
        return text.Length > 0;
    }

    /// <summary>A whole number in a range.</summary>
    public static Reader<int> Number(int min, int max) => (string text, out int value, out string expected) =>
    {
        expected = $"a whole number from {min} to {max} is needed";
        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value) && value >= min && value <= max;
    };

    /// <summary>A number with a fraction in a range.</summary>
    public static Reader<double> Fraction(double min, double max) => (string text, out double value, out string expected) =>
    {
        expected = string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max} is needed");
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && value >= min && value <= max;
    };

    /// <summary>One of some words.</summary>
    public static Reader<string> OneOf(params string[] words) => (string text, out string value, out string expected) =>
    {
        value = text;
        expected = $"one of {string.Join(", ", words)} is needed";
        return words.Contains(text, StringComparer.Ordinal);
    };

    /// <summary><c>on</c> or <c>off</c>, and what others write for them.</summary>
    public static bool OnOff(string text, out bool value, out string expected)
    {
        expected = "on or off is needed";
        value = text.ToLowerInvariant() is "on" or "true" or "yes" or "1";
        return value || text.ToLowerInvariant() is "off" or "false" or "no" or "0";
    }

    /// <summary>A duration such as <c>10s</c>, <c>250ms</c>, <c>1.5m</c>; without a unit seconds.</summary>
    public static Reader<TimeSpan> Time(TimeSpan min, TimeSpan max) => (string text, out TimeSpan value, out string expected) =>
    {
        expected = $"a duration such as 10s, 250ms or 5m, from {Show(min)} to {Show(max)}, is needed";
        value = default;
        var (suffix, factor) = Array.Find(TimeUnits, u => text.EndsWith(u.Suffix, StringComparison.Ordinal));
        var digits = suffix is null ? text : text[..^suffix.Length];
        if (!double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
        {
            return false;
        }

        var milliseconds = number * (suffix is null ? 1000 : factor);
        if (milliseconds > max.TotalMilliseconds || milliseconds < min.TotalMilliseconds)
        {
            return false;
        }

        value = TimeSpan.FromMilliseconds(milliseconds);
        return true;
    };

    /// <summary>A size in bytes such as <c>64MiB</c>, <c>4k</c> or <c>1000</c>.</summary>
    public static Reader<long> Size(long min, long max) => (string text, out long value, out string expected) =>
    {
        expected = $"a size such as 64MiB, 4KiB or 1000, from {min} to {max} bytes, is needed";
        value = 0;
        var (suffix, factor) = Array.Find(SizeUnits, u => text.EndsWith(u.Suffix, StringComparison.OrdinalIgnoreCase));
        var digits = suffix is null ? text : text[..^suffix.Length];
        if (!double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) || number * (suffix is null ? 1 : factor) > max)
        {
            return false;
        }

        value = (long)(number * (suffix is null ? 1 : factor));
        return value >= min;
    };

    /// <summary><c>HOST:PORT</c>.</summary>
    public static bool Address(string text, out HostPort value, out string expected)
    {
        var good = HostPort.TryParse(text, out value, out _);
        expected = "an address HOST:PORT such as 127.0.0.1:8001 is needed";
        return good;
    }

    /// <summary>Addresses separated by commas; <c>http://</c> in front of them is allowed.</summary>
    public static bool Addresses(string text, out IReadOnlyList<HostPort> value, out string expected)
    {
        var list = new List<HostPort>();
        value = list;
        expected = "";
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var plain = part.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? part[7..].TrimEnd('/') : part;
            if (part.StartsWith("https://", StringComparison.OrdinalIgnoreCase))
            {
                expected = "http:// is needed (TLS is not built yet)";
                return false;
            }

            if (!HostPort.TryParse(plain, out var address, out _))
            {
                expected = "addresses such as http://127.0.0.1:8001 or 127.0.0.1:8001 (several with commas) are needed";
                return false;
            }

            list.Add(address);
        }

        expected = "at least one address is needed";
        return list.Count > 0;
    }

    /// <summary>Nodes with addresses, such as <c>A=127.0.0.1:50051,B=127.0.0.1:50052</c>; <c>http://</c> in front of an address is allowed.</summary>
    public static bool Members(string text, out IReadOnlyList<(string Node, HostPort Address)> value, out string expected)
    {
        var list = new List<(string, HostPort)>();
        value = list;
        expected = "nodes with addresses such as A=127.0.0.1:50051,B=127.0.0.1:50052 are needed";
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                return false;
            }

            var address = part[(equals + 1)..].Trim();
            address = address.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? address[7..].TrimEnd('/') : address;
            if (!NodeName(part[..equals].Trim(), out var node, out expected))
            {
                return false;
            }

            if (!HostPort.TryParse(address, out var parsed, out var problem))
            {
                expected = problem;
                return false;
            }

            if (list.Exists(m => string.Equals(m.Item1, node, StringComparison.Ordinal)))
            {
                expected = $"each node may be named once ('{node}' is named twice)";
                return false;
            }

            list.Add((node, parsed));
        }

        expected = "at least one node is needed";
        return list.Count > 0;
    }

    /// <summary>The name of a node: letters, digits, <c>.</c>, <c>_</c> and <c>-</c>, at most 64.</summary>
    public static bool NodeName(string text, out string value, out string expected)
    {
        value = text;
        expected = "a node's name is 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit";
        return text.Length is > 0 and <= 64 && char.IsAsciiLetterOrDigit(text[0]) && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
    }

    /// <summary>Lets a setting also be <c>off</c>.</summary>
    public static Reader<T?> OrOff<T>(Reader<T> inner)
        where T : struct => (string text, out T? value, out string expected) =>
    {
        value = null;
        if (string.Equals(text, "off", StringComparison.OrdinalIgnoreCase))
        {
            expected = "";
            return true;
        }

        if (!inner(text, out var some, out expected))
        {
            expected += " (or off)";
            return false;
        }

        value = some;
        return true;
    };

    /// <summary>A duration as short as it can be written.</summary>
    public static string Show(TimeSpan time) => time.TotalMilliseconds switch
    {
        < 1000 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###}ms"),
        < 60_000 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###}s"),
        < 3_600_000 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:0.#}m"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalHours:0.#}h"),
    };
}
