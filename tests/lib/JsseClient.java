// SPDX-License-Identifier: Apache-2.0
import java.io.FileInputStream;
import java.io.InputStream;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** JsseClient PKCS11-CONFIG PORT CA.pem PROTOCOL: mutual TLS with localhost, the key on the card; prints what was agreed. */
final class JsseClient {
	public static void main(String[] args) throws Exception {
		Provider provider = Security.getProvider("SunPKCS11").configure(args[0]);
		Security.addProvider(provider);
		KeyStore card = KeyStore.getInstance("PKCS11", provider);
		card.load(null, "0000".toCharArray());
		KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
		keys.init(card, null);
		KeyStore trusted = KeyStore.getInstance("PKCS12");
		trusted.load(null, null);
		try (InputStream in = new FileInputStream(args[2])) {
			trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
		trust.init(trusted);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
		try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(args[1]))) {
			socket.setEnabledProtocols(new String[] {args[3]});
			socket.startHandshake();
			socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes());
			byte[] answer = socket.getInputStream().readAllBytes();
			System.out.println(socket.getSession().getProtocol() + " " + socket.getSession().getCipherSuite());
			System.out.println(new String(answer, "ISO-8859-1"));
		}
	}
}
