namespace Flotilla.Wire.Peers;

/// <summary>A frame that no correct peer sends: the stream that it came on is to be cut. The only exception that decoding throws.</summary>
public sealed class PeerFormatException : Exception
{
    /// <summary>Says what is wrong with the frame.</summary>
    public PeerFormatException(string message)
        : base(message)
    {
    }

    /// <summary>Says what is wrong with the frame, and what found it.</summary>
    public PeerFormatException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>A frame that is not one.</summary>
    public PeerFormatException()
        : this("not a valid peer frame")
    {
    }
}
